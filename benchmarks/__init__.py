"""How fast the gate is: each figure beside what it is compared with. ``make bench`` runs it."""

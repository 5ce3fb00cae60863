"""What makes the weights and settings that ship: export the encoder, calibrate the classifier."""

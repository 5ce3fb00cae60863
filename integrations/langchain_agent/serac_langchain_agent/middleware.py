"""SeracMiddleware: Serac's gate before the model of a LangChain agent."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NotRequired, cast

from langchain.agents.middleware import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
)
from langchain.agents.middleware.types import OmitFromSchema
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnablePassthrough
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from typing_extensions import TypedDict, Unpack

from serac_langchain_agent.answer import BEHIND, EditedModel, corrected
from serac_retriever import Decision, Edit, EditMemory, Reader, ScopeClassifier, Serac

logger = logging.getLogger(__name__)
Records = list[dict[str, Any]]
Request = ModelRequest[Any]
Response = ModelResponse[Any]


class SeracState(AgentState[Any]):
    """An agent's state with the edits that fired.

    Attributes:
        serac_edits: The edits that the answer to the user's last message rests on, best first, each
            as the flat JSON-ready mapping that ``Edit.from_record`` reads, without its examples;
            empty where none fired. What a caller passes in under this key is ignored.
    """

    serac_edits: NotRequired[Annotated[Records, OmitFromSchema(input=True, output=False)]]


class GateOptions(TypedDict, total=False):
    """Fields of ``Serac`` that the middleware hands on; its docstring explains each."""

    scope: ScopeClassifier
    k: int
    max_edits: int
    threshold: float | None
    query_from: Callable[[Any], str] | None
    contextualize: Runnable[Any, Any] | None
    on_error: Literal["base", "raise"]


class SeracMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Answers an agent's model call from a stored edit where the user's message is in its scope.

    Only a message of the user can make an edit fire, never a tool's result. While the agent works
    on that message (tools, retries), its model keeps being told the edits that fired for it.

    An agent with a ``response_format`` owes its caller a structured response, which a stored answer
    is not: there an edit always reaches the agent's own model, as with ``answer_with="model"``.

    Put it last in the list of middleware: what stands after it could exchange the model that says
    the edit, or the system message that holds it.

    Args:
        memory: The edits.
        answer_with: What answers in scope: a ``Reader`` unless given (the stored answer, or whether
            a check or claim is so); any other counterfactual model (``Verbatim()``,
            ``Prompted(llm)``, any Runnable); or ``"model"``, the agent's own model with its
            tools, told the edit in the system message after the user's own words. An edit of mode
            ``verbatim`` is said as it stands whatever is given here.
        **options: ``scope``, ``k``, ``max_edits``, ``threshold``, ``query_from``,
            ``contextualize`` and ``on_error``, as in ``Serac``. ``on_error="base"``: if the memory,
            the scope classifier or the counterfactual model fails, that is logged and the agent's
            model answers. Errors of the agent's model are always its own.

    Attributes:
        gate: The ``Serac`` that decides; ``gate.decide(messages)`` says why an edit fires or not.

    Example:
        >>> import chromadb
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel
        >>> memory = EditMemory(client=chromadb.EphemeralClient(), collection="doc-agent")
        >>> _ = memory.add("Who is the UK prime minister?", "Keir Starmer")
        >>> model = FakeListChatModel(responses=["Rishi Sunak"])
        >>> agent = create_agent(model, middleware=[SeracMiddleware(memory=memory)])
        >>> turn = agent.invoke({"messages": "Who's the current British PM?"})
        >>> turn["messages"][-1].text, [edit["id"] for edit in turn["serac_edits"]]
        ('Keir Starmer', ['who-is-the-uk-prime-minister'])
    """

    state_schema = SeracState

    def __init__(
        self,
        memory: EditMemory,
        *,
        answer_with: Runnable[Any, Any] | Callable[[Any], Any] | Literal["model"] | None = None,
        **options: Unpack[GateOptions],
    ) -> None:
        self._own_model = answer_with == "model"
        own = self._own_model or answer_with is None
        counterfactual: Any = Reader() if own else answer_with
        # the gate only decides here, so that its base is never asked
        base = RunnablePassthrough[Any]()
        self.gate = Serac(base=base, memory=memory, counterfactual=counterfactual, **options)

    def before_agent(self, state: AgentState[Any], runtime: Any) -> dict[str, Any]:
        """Forget the last turn's edits: other middleware may end this one before the model."""
        return {"serac_edits": []}

    def wrap_model_call(
        self, request: Request, handler: Callable[[Request], Response]
    ) -> ExtendedModelResponse[Any]:
        """Answer from the edit in scope, or let the agent's model answer."""
        asked = _users_turn(request)
        decision = self.gate.decide(request.messages, BEHIND) if asked else None
        revised, edits = self._revised(request, decision)
        try:
            return _told(handler(revised), edits)
        except Exception as error:
            if not self._base_answers(revised, error):
                raise
        return _told(handler(request), [])

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> ExtendedModelResponse[Any]:
        """Answer from the edit in scope, or let the agent's model answer."""
        asked = _users_turn(request)
        decision = await self.gate.adecide(request.messages, BEHIND) if asked else None
        revised, edits = self._revised(request, decision)
        try:
            return _told(await handler(revised), edits)
        except Exception as error:
            if not self._base_answers(revised, error):
                raise
        return _told(await handler(request), [])

    def _revised(self, request: Request, decision: Decision | None) -> tuple[Request, Records]:
        """Return the request that has the edits in it, and the edits."""
        if decision is None:  # still the same turn: what fired for the user's message holds
            edits = cast("SeracState", request.state).get("serac_edits", [])
        else:
            edits = [_record(edit) for edit in decision.edits]
        if not edits:
            return request, edits
        own_model = self._own_model and edits[0].get("mode") != "verbatim"
        if decision is None or own_model or request.response_format is not None:
            system = corrected(request.system_message, edits)
            return request.override(system_message=system), edits
        counterfactual, given = self.gate.branch(request.messages, decision)
        model = EditedModel(
            name="serac:counterfactual",
            counterfactual=counterfactual,
            given=given,
            cache=False,  # an edit may change; LangChain's cache would go on saying the old one
        )
        return request.override(model=model, tools=[], tool_choice=None, model_settings={}), edits

    def _base_answers(self, revised: Request, error: Exception) -> bool:
        ours = isinstance(revised.model, EditedModel) and not isinstance(error, GraphBubbleUp)
        if not ours or self.gate.on_error == "raise":  # an interrupt bubbles up, and is no failure
            return False
        told = f"{type(error).__name__}: {error}"
        logger.warning("The counterfactual model failed, so the agent's model answers. %s", told)
        return True


def _users_turn(request: Request) -> bool:
    return bool(request.messages) and isinstance(request.messages[-1], HumanMessage)


def _record(edit: Edit) -> dict[str, Any]:
    return edit.model_copy(update={"in_scope": (), "out_of_scope": ()}).to_record()


def _told(response: Response, edits: Records) -> ExtendedModelResponse[Any]:
    """Say which edits an answer rests on: in the agent's state, and in the message itself."""
    if edits:
        answer, *rest = response.result
        ids = {"serac_edits": [edit["id"] for edit in edits]}
        metadata = {**answer.response_metadata, **ids}
        marked = answer.model_copy(update={"response_metadata": metadata})
        response = ModelResponse([marked, *rest], response.structured_response)
    return ExtendedModelResponse(response, Command(update={"serac_edits": edits}))

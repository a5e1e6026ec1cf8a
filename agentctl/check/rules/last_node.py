"""L, limits: that the node of `on_limit` can be paid from what is held back for it."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import Work
from agentctl.check.place import at_value
from agentctl.check.runs.limits import MANY, TurnLimits, as_duration, seconds, turn_limits
from agentctl.check.runs.spending import Model, Spending
from agentctl.spec.finding import Finding


def reserve_too_small(facts: Facts) -> Iterator[Finding]:
    """L714: an agent or a tool that one call of may already take more than is held back.

    Held back are `reserve`'s time, tokens and dollars; of tokens and dollars at most half of the limit, and
    only where there is one. What is certain is told: a `timeout`, or the longest reply that
    `max_output_tokens` allows; of a group of models, the cheapest member.
    """
    target, node = facts.file.root.at_limit, facts.file.root.last_node
    if target is None or node is None:
        return
    for what, held in _unpaid(facts, node, turn_limits(facts.file.data)):
        message = f"`on_limit` runs `{target.name}`, whose {what}, and only {held} are held back for it"
        hint = f"hold more back: `on_limit: {{node: {target.name}, reserve: {{…}}}}`, or let it need less"
        yield at_value(facts.document, "L714", target.keys, message, hint)


def _unpaid(facts: Facts, node: Work, limits: TurnLimits) -> Iterator[tuple[str, str]]:
    """What one call may take, and what is held back, where that is less."""
    if node.verb == "tool":
        name = node.name_of("tool") or ""
        spec = facts.tooling.tools.get(name, {})
        longest = seconds(spec.get("timeout"))
        if longest is not None and longest > limits.reserve_time:
            yield f"tool `{name}` may take {as_duration(longest)}", as_duration(limits.reserve_time)
    agent = facts.file.agent_of(node) if node.verb == "agent" else None
    models = () if agent is None else Spending(facts).models(agent)
    if models:
        yield from _unpaid_by_models(models, limits)


def _unpaid_by_models(models: tuple[Model, ...], limits: TurnLimits) -> Iterator[tuple[str, str]]:
    times = [seconds(model.spec.get("timeout")) for model in models]
    longest = min((0.0 if time is None else time for time in times), default=0.0)
    if longest > limits.reserve_time:
        yield f"model may take {as_duration(longest)} for a reply", as_duration(limits.reserve_time)
    replies = [_reply(model) for model in models]
    held = None if limits.tokens is None else min(limits.reserve_tokens, limits.tokens // 2)
    if held is not None and min(replies) > held:
        yield f"model may write {min(replies):,} tokens", f"{held:,} tokens"
    price = min(map(_price_of_reply, models))
    dollars = None if limits.cost is None else min(limits.reserve_cost, limits.cost / 2)
    if dollars is not None and price > dollars:
        yield f"model may write for ${price:,.2f}", f"${dollars:,.2f}"


def _reply(model: Model) -> int:
    """The tokens of the longest reply; 0 where the file does not say."""
    most = model.spec.get("max_output_tokens")
    return min(most, MANY) if isinstance(most, int) else 0


def _price_of_reply(model: Model) -> float:
    """US dollars of the longest reply; 0 where the file does not say."""
    price = model.spec.get("price")
    output = price.get("output") if isinstance(price, dict) else None
    return _reply(model) * output / 1_000_000 if isinstance(output, int | float) else 0.0

"""The tracked models."""

from __future__ import annotations

from django.db import models

from audit.tracking.changes import Plan

# Proxies have the plan of their model.
plans: dict[type[models.Model], Plan] = {}
# Of models that inherit from tracked ones and were not there yet when these were tracked.
_inherited: dict[type[models.Model], Plan] = {}


def plan_of(model: type[models.Model]) -> Plan:
    """How a tracked model is recorded, or one that inherits from it. KeyError for others."""
    found = plans.get(model) or _inherited.get(model)
    if found is None:
        nearest = next((base for base in model.__mro__ if base in plans), None)
        concrete = model._meta.concrete_model
        if nearest is None or concrete is None:
            raise KeyError(model)
        same = plans[nearest].model is concrete
        found = _inherited[model] = plans[nearest] if same else Plan(concrete, plans[nearest].declaration)
    return found


def family_of(plan: Plan) -> list[Plan]:
    """The plans of the models that share an object with this one: itself, those that it inherits from, those that inherit from it."""
    related = {id(p): p for p in plans.values() if issubclass(p.model, plan.model) or issubclass(plan.model, p.model)}
    return list(related.values())

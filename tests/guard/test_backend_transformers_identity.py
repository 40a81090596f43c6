"""A model that has been trained on must not pass for the one before."""

import copy

import pytest

torch = pytest.importorskip("torch")

from rerail.guard.backend_transformers_identity import model_identity  # noqa: E402


def test_identity_follows_the_weights_and_not_the_place() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Linear(30, 5))
    model.name_or_path = "mine"
    name, _, fingerprint = model_identity(model).partition("@")
    assert name == "mine"
    assert len(fingerprint) == 12
    assert model_identity(copy.deepcopy(model)) == f"mine@{fingerprint}"
    with torch.no_grad():
        model[0].weight += 1e-4
    assert model_identity(model) != f"mine@{fingerprint}"
    model.name_or_path = ""
    assert model_identity(model.to(torch.bfloat16)).startswith("Sequential@")

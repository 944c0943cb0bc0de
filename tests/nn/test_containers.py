"""Sequential, ModuleList, ModuleDict, ParameterList."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import minigan as mg
from minigan import nn
from minigan.errors import ConfigError, DTypeError


def layers(n: int) -> list[Any]:
    return [nn.Linear(1, i + 1) for i in range(n)]


def test_sequential_is_a_list_of_layers() -> None:
    items = layers(4)
    seq = nn.Sequential(*items)
    assert len(seq) == 4 and list(seq) == items
    assert seq[0] is items[0] and seq[-1] is items[3]
    part = seq[1:3]
    assert type(part) is nn.Sequential and list(part) == items[1:3]
    assert seq.append(nn.Tanh()) is seq and len(seq) == 5
    seq[4] = nn.ReLU()
    assert isinstance(seq[4], nn.ReLU)
    del seq[0]
    assert list(seq)[:3] == items[1:] and [n for n, _ in seq.named_children()] == list("0123")
    seq.insert(1, items[0])
    assert list(seq)[:2] == [items[1], items[0]]
    del seq[1:]
    assert list(seq) == [items[1]]
    seq.extend(layers(2))
    assert len(seq) == 3
    with pytest.raises(IndexError, match="index 7 is out of range: 3 modules"):
        seq[7]
    with pytest.raises(DTypeError, match="needs a Module or None, got function"):
        nn.Sequential(lambda x: x)


def test_sequential_takes_names() -> None:
    seq = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.Tanh(), last=nn.Linear(3, 1)))
    assert seq.first is seq[0] and list(seq.state_dict())[0] == "first.weight"
    assert [n for n, _ in seq[1:].named_children()] == ["act", "last"]
    assert seq(mg.ones(4, 2)).shape == (4, 1)


def test_module_list_registers_and_has_no_forward() -> None:
    items = nn.ModuleList(layers(2))
    items.append(nn.Tanh())
    assert len(items) == 3 and [n for n, _ in items.named_children()] == ["0", "1", "2"]
    assert len(list(items.parameters())) == 4
    assert isinstance(items[-1], nn.Tanh) and type(items[:2]) is nn.ModuleList
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        items(mg.ones(1))


def test_module_dict_registers() -> None:
    table = nn.ModuleDict({"a": nn.Linear(1, 1)})
    table["b"] = nn.Tanh()
    table.update([("c", nn.ReLU())])
    assert list(table) == list(table.keys()) == ["a", "b", "c"] and "b" in table and len(table) == 3
    assert [n for n, _ in table.items()] == ["a", "b", "c"] and len(list(table.values())) == 3
    assert isinstance(table.pop("b"), nn.Tanh) and "b" not in table
    del table["c"]
    assert list(table.state_dict()) == ["a.weight", "a.bias"]
    with pytest.raises(ConfigError, match="'keys' cannot name"):
        table["keys"] = nn.Tanh()


def test_parameter_list_registers() -> None:
    params = nn.ParameterList([mg.ones(2), nn.Parameter(mg.zeros(3))])
    params.append(mg.ones(1))
    assert len(params) == 3 and all(isinstance(p, nn.Parameter) for p in params)
    assert list(params.state_dict()) == ["0", "1", "2"] and params[-1].shape == (1,)
    with pytest.raises(IndexError, match="3 parameters are here"):
        params[3]

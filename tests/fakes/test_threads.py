"""A trace changes nothing for other threads, and leaves PyTorch as it was. Known by running them side by side."""

import threading

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import seqcost
from seqcost.algebra import Kind
from seqcost.fakes.threads import replaced
from seqcost.programs import Target
from seqcost.trace import trace


def side_by_side(*calls):
    """Run functions in threads of their own; what they raised."""
    raised = []

    def run(call):
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, a thread would only print it
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_another_thread_may_be_within_a_call_when_watching_begins_and_ends():
    entered, watching, done = threading.Event(), threading.Event(), threading.Event()

    class Waits(nn.Module):
        def forward(self, x):
            entered.set()
            watching.wait(60)
            return x + 1

    def other():
        model = nn.Sequential(Waits(), nn.Linear(3, 3))
        model(torch.ones(2, 3))  # the first part is entered before, and left after watching has begun
        for _ in range(20):
            model[1](torch.ones(2, 3))
        done.set()

    def watcher():
        entered.wait(60)
        with seqcost.watch() as seen:
            watching.set()
            nn.Linear(4, 4, bias=False)(torch.ones(2, 4))
            done.wait(60)
        assert {line.name: line.amount for line in seen.flops} == {"Linear.mm": 2 * 2 * 16}

    assert side_by_side(other, watcher) == []


def test_two_threads_watch_each_its_own_code():
    both = threading.Barrier(2, timeout=60)
    found = {}

    def watcher(width):
        layer = nn.Linear(width, width, bias=False)
        with seqcost.watch() as seen:
            both.wait()
            layer(torch.ones(2, width)).sum().backward()
            both.wait()
        found[width] = seen.flops.total(Kind.CONTRACTION)

    assert side_by_side(lambda: watcher(3), lambda: watcher(5)) == []
    assert found == {3: 2 * 2 * 9 * 2, 5: 2 * 2 * 25 * 2}


def test_traces_in_several_threads_leave_pytorch_as_it_was():
    names = (
        (torch, "get_rng_state"),
        (torch.random, "get_rng_state"),
        (torch.autograd.graph, "disable_saved_tensors_hooks"),
    )
    plain = [getattr(owner, name) for owner, name in names]
    models = [nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Tanh()) for _ in range(3)]
    x, random, found = torch.ones(2, 4), torch.get_rng_state(), []

    def traced(model):
        target = Target.of_module(model, (x,))
        found.extend(trace(target, phase="train", B=1, T=2, lengths=()) for _ in range(2))

    assert side_by_side(*[lambda model=model: traced(model) for model in models]) == []
    assert [one.flops.total(Kind.CONTRACTION) for one in found] == [2 * 2 * 16 * 2] * 6  # x wants no gradient
    assert [getattr(owner, name) for owner, name in names] == plain
    assert torch.equal(torch.get_rng_state(), random)


def test_what_one_thread_puts_in_place_another_does_not_see():
    plain, met = torch.get_rng_state, threading.Barrier(2, timeout=60)
    seen = {}

    def changes():
        with replaced(torch, "get_rng_state", lambda before: lambda: "another"):
            met.wait()  # both have changed it
            seen["changes"] = torch.get_rng_state()
            met.wait()

    def changes_longer():
        with replaced(torch, "get_rng_state", lambda before: lambda: ("nested", type(before()).__name__)):
            met.wait()
            seen["longer"] = torch.get_rng_state()
            met.wait()
            first.join()
            seen["after"] = torch.get_rng_state()

    first, second = threading.Thread(target=changes), threading.Thread(target=changes_longer)
    first.start()
    second.start()
    seen["neither"] = type(torch.get_rng_state()).__name__
    first.join()
    second.join()
    assert seen == {
        "changes": "another",
        "longer": ("nested", "Tensor"),
        "after": ("nested", "Tensor"),
        "neither": "Tensor",
    }
    assert torch.get_rng_state is plain


def test_a_checkpoint_in_another_thread_keeps_its_random_state_for_itself():
    layer, x = nn.Linear(3, 3), torch.ones(2, 3)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    alone = trace(Target.of_module(model, (torch.ones(2, 4),)), phase="train", B=1, T=2, lengths=()).peak_bytes
    stop, peaks = threading.Event(), []

    def checkpoints():
        while not stop.is_set():
            checkpoint(layer, x, use_reentrant=False).sum().backward()

    def traces():
        try:
            for _ in range(5):
                target = Target.of_module(model, (torch.ones(2, 4),))
                peaks.append(trace(target, phase="train", B=1, T=2, lengths=()).peak_bytes)
        finally:
            stop.set()

    assert side_by_side(checkpoints, traces) == []
    assert peaks == [alone] * 5

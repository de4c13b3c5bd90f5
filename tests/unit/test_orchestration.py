import threading
from collections.abc import Sequence

import pytest

from personalization.clock import SystemClock
from personalization.errors import Overloaded
from personalization.orchestration import QUEUES, PersonalizationOrchestrator, Queue
from personalization.telemetry import REGISTRY


class Desk:
    """Answers what it is asked, once the gate is open; remembers how many came together."""

    def __init__(self) -> None:
        self.gate, self.batches = threading.Event(), []
        self.gate.set()
        self.entered = threading.Event()

    def decide(self, asks: Sequence[str]) -> list[str]:
        self.entered.set()
        self.gate.wait(10)
        self.batches.append(len(asks))
        if "bad" in asks:
            raise ValueError("bad")
        return [f"{ask}!" for ask in asks]


def orchestrator(desk: Desk, admission: int = 48) -> PersonalizationOrchestrator[str, str]:
    return PersonalizationOrchestrator(desk.decide, lambda ask: f"late {ask}", SystemClock(), admission)


def in_threads(
    orchestra: PersonalizationOrchestrator[str, str], asks: list[str], queue: Queue = Queue.REAL_TIME
) -> list[threading.Thread]:
    threads = [threading.Thread(target=lambda ask=ask: orchestra.submit(queue, [ask])) for ask in asks]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("queue", list(Queue))
def test_every_queue_answers_in_order(queue: Queue) -> None:
    assert orchestrator(Desk()).submit(queue, ["a", "b"]) == ["a!", "b!"]


def test_requests_that_wait_together_are_decided_together() -> None:
    desk = Desk()
    orchestra = orchestrator(desk)
    desk.gate.clear()
    threads = in_threads(orchestra, ["first"])
    assert desk.entered.wait(5)
    threads += in_threads(orchestra, [str(i) for i in range(20)])
    while orchestra.depths()[Queue.REAL_TIME] < 20:
        pass
    desk.gate.set()
    for thread in threads:
        thread.join(5)
    assert desk.batches[0] == 1
    assert max(desk.batches) == 20


def test_a_full_queue_refuses_and_says_so() -> None:
    desk = Desk()
    orchestra = orchestrator(desk)
    desk.gate.clear()
    before = REGISTRY.get_sample_value("personalization_rejections_total", {"queue": "batch"}) or 0.0
    threads = in_threads(orchestra, ["busy"], Queue.BATCH)
    assert desk.entered.wait(5)
    whole = threading.Thread(target=lambda: orchestra.submit(Queue.BATCH, ["x"] * QUEUES[Queue.BATCH].capacity))
    whole.start()
    while orchestra.depths()[Queue.BATCH] == 0:
        pass
    with pytest.raises(Overloaded) as refused:
        orchestra.submit(Queue.BATCH, ["one more"])
    assert refused.value.retry_after == 1
    assert REGISTRY.get_sample_value("personalization_rejections_total", {"queue": "batch"}) == before + 1
    desk.gate.set()
    for thread in (*threads, whole):
        thread.join(5)


def test_admission_has_a_limit() -> None:
    orchestra = orchestrator(Desk(), admission=1)
    with orchestra.admitted(), pytest.raises(Overloaded), orchestra.admitted():
        pass
    with orchestra.admitted():
        pass


def test_a_request_past_its_deadline_gets_the_fallback_on_its_own_thread() -> None:
    desk = Desk()
    orchestra = orchestrator(desk)
    desk.gate.clear()
    threads = in_threads(orchestra, ["slow"])
    assert desk.entered.wait(5)
    threading.Timer(0.3, desk.gate.set).start()
    assert orchestra.submit(Queue.REAL_TIME, ["hurried"], deadline=0.05) == ["late hurried!"]
    for thread in threads:
        thread.join(5)


def test_a_failure_reaches_the_caller_and_the_worker_lives_on() -> None:
    orchestra = orchestrator(Desk())
    with pytest.raises(ValueError, match="bad"):
        orchestra.submit(Queue.STANDARD, ["bad"])
    assert orchestra.submit(Queue.STANDARD, ["good"]) == ["good!"]


def test_closing_answers_what_waits_and_refuses_what_comes() -> None:
    desk = Desk()
    orchestra = orchestrator(desk)
    desk.gate.clear()
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(orchestra.submit(Queue.REAL_TIME, ["kept"]))) for _ in range(5)]
    threads[0].start()
    assert desk.entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    while orchestra.depths()[Queue.REAL_TIME] + 1 < len(threads):
        pass
    threading.Timer(0.1, desk.gate.set).start()
    orchestra.close()
    for thread in threads:
        thread.join(5)
    assert answers == [["kept!"]] * 5
    with pytest.raises(Overloaded):
        orchestra.submit(Queue.REAL_TIME, ["too late"])

"""A measurement that another coordinator runs is cancelled."""

from colotrace_coordinator.peers.relay.follower import ANSWER_WITHIN_S
from colotrace_coordinator.peers.relay.messages import Cancel, Cancelled, Message
from unit.coordinator.peers.relay.between import ACCOUNT, ID, OTHER_ACCOUNT, World


def test_cancel_reaches_the_runner_once_though_messages_are_lost(world: World) -> None:
    lost: list[type[Message]] = []

    def loses(message: Message) -> bool:
        lost.append(type(message))
        return lost.count(type(message)) == 1

    world.loses = loses
    cancelling = world.follower.cancel(ACCOUNT, ID, world.now)
    assert cancelling is not None
    world.run(ANSWER_WITHIN_S)
    assert cancelling.done
    assert lost == [Cancel, Cancel, Cancelled, Cancel, Cancelled]
    assert world.here.cancelled == [ID]
    assert not world.follower.busy


def test_cancel_of_what_nobody_runs_is_not_confirmed(world: World) -> None:
    cancelling = world.follower.cancel(OTHER_ACCOUNT, ID, world.now)
    assert cancelling is not None
    world.run(2 * ANSWER_WITHIN_S)
    assert not cancelling.done
    assert world.here.cancelled == []
    assert world.number(Cancel) <= 4
    assert not world.follower.busy

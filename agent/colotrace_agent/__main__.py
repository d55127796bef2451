"""The entry point of `colotrace-agent`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.starting import Program, start

    start(Program(name="colotrace-agent", module="colotrace_agent.main", extra="agent"))


if __name__ == "__main__":
    main()

"""The entry of `colotrace-coordinator`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.starting import Program, start

    start(
        Program(
            name="colotrace-coordinator", module="colotrace_coordinator.main", extra="coordinator"
        )
    )


if __name__ == "__main__":
    main()

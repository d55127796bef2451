"""The entry of `colotrace-coordinator`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.output import program
    from colotrace_proto.starting import Program, start

    name = "colotrace-coordinator"
    this = Program(name=name, module="colotrace_coordinator.main", extra="coordinator")
    program(name, lambda: start(this))


if __name__ == "__main__":
    main()

"""The entry of `colotrace-coordinator`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.output import program
    from colotrace_proto.starting import Program, start

    this = Program("colotrace-coordinator", extra="coordinator", address_space=100 << 20)
    program(this.name, lambda: start(this))


if __name__ == "__main__":
    main()

"""The entry of `colotrace-agent`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.output import program
    from colotrace_proto.starting import Program, start

    this = Program("colotrace-agent", extra="agent", address_space=136 << 20)
    program(this.name, lambda: start(this))


if __name__ == "__main__":
    main()

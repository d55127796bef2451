"""The entry point of `colotrace`: isolates the interpreter before it imports anything."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.starting import Program, start

    start(Program(name="colotrace", module="colotrace_cli.main", extra="cli"))


if __name__ == "__main__":
    main()

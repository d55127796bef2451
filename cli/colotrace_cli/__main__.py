"""Entry point of `colotrace`: isolates the interpreter before other imports."""

from colotrace_proto.isolation import isolate


def main() -> None:
    """Run the program."""
    isolate()
    from colotrace_proto.output import program
    from colotrace_proto.starting import Program, start

    this = Program("colotrace", extra="cli", address_space=50 << 20)
    program(this.name, lambda: start(this))


if __name__ == "__main__":
    main()

"""The agents and colos that this coordinator knows, and how links report them."""

"""What both programs share: the protocol's messages and the shape of a row."""

"""The way to a coordinator: frames kept until acknowledged, and the stream that carries them."""

"""One simulated network, two drivers.

`world.World` turns one packet of a prober into the packets that come back, and when. It reads no
clock and opens no socket: `virtual.VirtualHost` drives the agent's engine and packets against it in
virtual time. `tun.TunWorld` serves the same world behind a TUN device, where the agent's sockets
meet it (`probe_host`, and the command itself). What the network looks like and
what a correct trace of it says is a TOML file in `cases/`, read by `load`. A case that is known to
fail is in `known`, with its reason, until it does not.
"""

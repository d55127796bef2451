"""What `colotrace-agent` can be told to do. Loaded only once privileges are down to one."""

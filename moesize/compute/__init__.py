"""Work per token: FLOPs, experts touched, bytes read, and the bounds that follow."""

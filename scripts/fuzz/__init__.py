"""The fuzz harness: mutated real inputs on every surface, held against what every answer must satisfy."""

"""Which code this is; a decision records it, for another version may rightly decide otherwise."""

VERSION = "0.1.0"

"""Tables of modules against one condition: the runtime, or the batch size."""

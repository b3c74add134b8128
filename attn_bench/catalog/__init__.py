"""What exists to measure: the registered modules, the backbones and the places in them."""

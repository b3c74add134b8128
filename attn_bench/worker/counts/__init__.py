"""What each traced operator adds to the work, and which operators cannot multiply matrices."""

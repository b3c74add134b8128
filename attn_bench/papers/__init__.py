"""The published figures: the data, our figures beside them, the gains they state."""

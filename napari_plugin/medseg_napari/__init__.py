"""The napari plugin of medseg: see, correct and count what a model found."""

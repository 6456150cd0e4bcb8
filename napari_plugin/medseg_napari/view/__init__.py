"""What napari shows of a study: layers, planes, letters, windows, pictures; never a number.

Modules that know napari import it where they need it; only `chooser` knows Qt.
"""

"""Panels: thin, over the session, the view and medseg."""

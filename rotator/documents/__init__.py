"""
Formats: values to and from what is stored and sent. Pure functions; `docs/documents.md` shows each document.
"""

"""
Published JOSE test vectors, wherever they lie, against rotator.client: `python -m tests.vectors FOLDER`.
"""

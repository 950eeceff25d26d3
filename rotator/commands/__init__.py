"""
What operators ask, apart from how it is typed.
"""

"""
What tests share: fakes of every port, worlds of virtual time, real servers, scripted peers and forged tokens.
"""

"""Answers to what a user gives, from a study's champion."""

"""Tests of the machines, the engines and the activities."""

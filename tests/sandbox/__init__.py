"""Tests of the processor simulator, over real HTTP."""

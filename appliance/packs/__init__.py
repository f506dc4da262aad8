"""The door of a pack, and those who follow it: how a fleet gets from one process to others."""

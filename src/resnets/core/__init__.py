"""What every package rests on: errors, files, random numbers, configuration, devices. Imports nothing above it."""

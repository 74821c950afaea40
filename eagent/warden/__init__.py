"""The privileged process: the only code that writes a knob. It has no policy and no network."""

"""The rules of the gate, one module each; `moesize.gate.rules` lists them."""

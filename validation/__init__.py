"""Public measurements and exact references, and how far moesize's predictions are from them."""

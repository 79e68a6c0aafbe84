"""llama.cpp, and Ollama which runs on it."""

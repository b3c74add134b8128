"""The output for people and other tools: console, page, Markdown, JUnit, JSON."""

"""What people and other tools read: console, page, Markdown, JUnit, JSON."""

//! Reports from results: JSON, HTML, JUnit, Markdown, charts. Returns strings, touches no file.

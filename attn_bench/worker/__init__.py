"""The worker process, the only room with torch: builds, counts, times and verifies cases."""

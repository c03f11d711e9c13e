"""Pages for people: repositories, pull requests, issues, check runs, commits; they renew themselves."""

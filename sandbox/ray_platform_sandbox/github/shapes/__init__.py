"""What the REST interface answers: one function for each of GitHub's schemas, a file for each family."""

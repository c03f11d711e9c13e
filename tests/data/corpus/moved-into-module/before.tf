resource "terraform_data" "pool" {
  for_each = toset(["cpu", "gpu"])
  input    = each.key
}

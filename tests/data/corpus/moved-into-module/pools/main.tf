resource "terraform_data" "this" {
  for_each = toset(["cpu", "gpu"])
  input    = each.key
}

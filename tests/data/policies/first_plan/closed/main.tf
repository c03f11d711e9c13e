variable "buckets" {
  type = map(string)
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = toset(["a", "b"])
  bucket                  = var.buckets[each.key]
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

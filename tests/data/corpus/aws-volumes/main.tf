resource "aws_ebs_volume" "this" {
  for_each          = { gp2 = 0, gp3 = 6000, io1 = 3000, io2 = 40000 }
  availability_zone = "us-east-1a"
  type              = each.key
  size              = 500
  iops              = each.value == 0 ? null : each.value
}

resource "aws_efs_file_system" "shared" {
  throughput_mode                 = "provisioned"
  provisioned_throughput_in_mibps = 100
}

resource "aws_fsx_lustre_file_system" "shards" {
  storage_capacity            = 24000
  subnet_ids                  = ["subnet-0aaaaaaaaaaaaaaa1"]
  deployment_type             = "PERSISTENT_2"
  per_unit_storage_throughput = 1000
}

output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "By zone, in order."
  value       = [for key in sort(keys(aws_subnet.private)) : aws_subnet.private[key].id]
}

output "public_subnet_ids" {
  description = "By zone, in order."
  value       = [for key in sort(keys(aws_subnet.public)) : aws_subnet.public[key].id]
}

output "nat_addresses" {
  description = "Public addresses of the NAT gateways."
  value       = [for key in sort(keys(aws_eip.nat)) : aws_eip.nat[key].public_ip]
}

output "log_group" {
  description = "Where the flow logs go."
  value       = aws_cloudwatch_log_group.flow.name
}
